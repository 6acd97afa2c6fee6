"""Boxes on images and the plots of a stream; nothing loads here."""
