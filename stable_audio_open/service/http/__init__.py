"""The service by HTTP: endpoints, who may use them, and how much they take."""
