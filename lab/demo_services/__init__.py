"""The demonstration of services, by themes; `python -m lab.demo_services` tells all of them."""
