"""Bytes to facts and back: the dialects that clients and upstreams speak. Thinks; opens no socket."""
