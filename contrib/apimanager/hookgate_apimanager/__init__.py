"""The lifecycle of APIs: states, who may change them, and what each means at the gateway."""
