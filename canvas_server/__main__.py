"""`python -m canvas_server`: the same program as `canvas-server`."""

from canvas_server.cli import main

if __name__ == "__main__":
    main(prog_name="canvas-server")
