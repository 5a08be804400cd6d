"""`series train`, `forecast` and `backtest`: time-series forecasting next to naive baselines."""
