"""Documents of APIs with a visibility of their own, and what people say of APIs: ratings, comments and a forum."""
