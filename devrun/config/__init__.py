"""services.yaml, Procfile and .env files become one typed Project."""
