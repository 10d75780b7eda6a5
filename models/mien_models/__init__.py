"""The models: decode, find, cut and judge faces. Knows neither gRPC nor Ray; torch only where it is asked for."""
