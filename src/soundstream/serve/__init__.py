"""A web page where a person hears the codec, and its server. Needs starlette and uvicorn, from the extra `serve`."""
