"""Those who answer prompts, each behind the one interface of `generator`."""
