"""Where the desired state lives: one interface, shapes as in topology; knows neither HTTP nor OpenFlow."""
