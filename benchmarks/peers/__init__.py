"""The same model and the same frames on other people's servers, engines and filters."""
