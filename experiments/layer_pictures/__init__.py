"""The pictures of docs/layers.md, each computed by the layers it shows."""
