"""What plug-in authors may import beside the contract."""
