"""Recorded detections and time tags as files: `.npz`, CSV and Parquet, of any laboratory."""
