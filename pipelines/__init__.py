"""The imaging engine: tensors in, images out. It knows nothing of Gradio, projects or users."""
