"""Time series: read from tables or generated, with their times, season and calendar."""
