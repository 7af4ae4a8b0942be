"""Published models by name: what is known of each, and how it runs here. Read without any heavy library."""
