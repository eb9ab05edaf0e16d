"""heddle-node: sets up a node's data path and keeps it so. Standard library only; decides nothing about networks."""
