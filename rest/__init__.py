"""The HTTP API: reads what is published and asks the store for changes; knows nothing of OpenFlow."""
