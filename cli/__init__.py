"""The heddle command: speaks HTTP to the controller and imports nothing else of this project."""
