"""A page in the browser that segments images with models, or through TensorFlow Serving."""
