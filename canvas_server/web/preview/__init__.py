"""The preview: a canvas as HTML that runs nothing and fetches nothing, made in processes that can be killed."""
