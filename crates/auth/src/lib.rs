//! SPNEGO, NTLMv2, key derivation, signing, sealing and the users file.
