"""JSON Web Tokens (JWT) of an OpenID Connect provider. Needs PyJWT, from the extra `jwt`."""
