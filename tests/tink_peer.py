"""Tink itself, with any segment size: the outside reader and writer of its streaming format."""

import io

from tink import proto_keyset_format, secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, tink_pb2

SHA256 = 3


def tink_primitive(key: bytes, *, segment_size: int):
    """Return Tink's streaming AEAD for one raw key of AES-GCM-HKDF."""
    streaming_aead.register()
    parameters = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
        ciphertext_segment_size=segment_size, derived_key_size=32, hkdf_hash_type=SHA256
    )
    raw = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(
        version=0, key_value=key, params=parameters
    )
    keyset = tink_pb2.Keyset(primary_key_id=7)
    entry = keyset.key.add()
    entry.key_id, entry.status, entry.output_prefix_type = 7, tink_pb2.ENABLED, tink_pb2.RAW
    entry.key_data.type_url = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"
    entry.key_data.value = raw.SerializeToString()
    entry.key_data.key_material_type = tink_pb2.KeyData.SYMMETRIC
    handle = proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


class _Kept(io.BytesIO):
    """Tink closes what it writes to, and with it an ordinary BytesIO forgets its content."""

    def close(self):
        pass


def tink_encrypted(key: bytes, data: bytes, associated: bytes, *, segment_size: int) -> bytes:
    target = _Kept()
    primitive = tink_primitive(key, segment_size=segment_size)
    with primitive.new_encrypting_stream(target, associated) as stream:
        stream.write(data)
    return target.getvalue()


def tink_decrypted(key: bytes, sealed: bytes, associated: bytes, *, segment_size: int) -> bytes:
    primitive = tink_primitive(key, segment_size=segment_size)
    with primitive.new_decrypting_stream(io.BytesIO(sealed), associated) as stream:
        return stream.read()
