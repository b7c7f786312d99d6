"""Twin of a laser powder-bed fusion machine that builds Ti-6Al-4V."""
