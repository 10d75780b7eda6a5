"""Video streams: frames in; faces with identities and steady answers out. Independent of the transport."""
