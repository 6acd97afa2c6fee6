"""Images with index masks, classified by the defects in them."""
