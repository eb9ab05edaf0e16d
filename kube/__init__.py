"""All that knows Kubernetes: its API, our custom resources, leases. Knows neither OpenFlow nor HTTP of our own."""
