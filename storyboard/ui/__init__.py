"""The page: the only package that uses Gradio."""
