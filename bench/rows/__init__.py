"""The rows of docs/benchmarks.md, one file each: what is compared, and the end state that is checked."""
