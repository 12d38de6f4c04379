"""What makes a placed deployment run. Each runtime knows neither Django nor the database."""
