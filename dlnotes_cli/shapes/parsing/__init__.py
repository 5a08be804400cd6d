"""Parsing of layer lists."""
