"""The audit: every patch site and every stub, in the object, in the image, in live memory and in the guest."""
