"""The reader study: a blinded page of pairs for readers, and what their scores say."""
