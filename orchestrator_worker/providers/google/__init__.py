"""Google's models, by the Gemini API; `client` is the one file that imports the SDK."""
