"""How neural sequence models memorize."""
