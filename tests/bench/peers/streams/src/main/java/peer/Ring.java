package peer;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.util.Base64;
import java.util.HexFormat;
import javax.crypto.Cipher;
import javax.crypto.Mac;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/** Ids, digests and sealing, as schemas/keys.py and schemas/sealing.py have them. One thread's own. */
final class Ring {
    private static final byte[] NAMESPACE = HexFormat.of().parseHex("6f1d3c2e8a5b5d0e9c47b1f2a3d4e5f6");
    private static final HexFormat HEX = HexFormat.of();
    private static final int NONCE_BYTES = 12;
    private static final int TAG_BYTES = 16;

    private final byte number;
    private final SecretKeySpec key;
    private final Cipher cipher;
    private final Mac mac;
    private final MessageDigest sha1;
    private final byte[] nonce = new byte[NONCE_BYTES];
    private long count;

    private Ring(int number, byte[] key, byte[] indexKey) throws GeneralSecurityException {
        this.number = (byte) number;
        this.key = new SecretKeySpec(key, "AES");
        cipher = Cipher.getInstance("AES/GCM/NoPadding");
        mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(indexKey, "HmacSHA256"));
        sha1 = MessageDigest.getInstance("SHA-1");
        new SecureRandom().nextBytes(nonce);
    }

    static Ring fromEnvironment() {
        String[] pair = System.getenv("CARILLON_KEYS").split(":", 2);
        var decoder = Base64.getDecoder();
        byte[] indexKey = decoder.decode(System.getenv("CARILLON_INDEX_KEY"));
        try {
            return new Ring(Integer.parseInt(pair[0]), decoder.decode(pair[1]), indexKey);
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
    }

    String notificationId(String tenant, String lane, String user, String idempotencyKey) {
        String name = tenant + '\u001f' + lane + '\u001f' + user + '\u001f' + idempotencyKey;
        sha1.update(NAMESPACE);
        byte[] digest = sha1.digest(name.getBytes(StandardCharsets.UTF_8));
        digest[6] = (byte) (digest[6] & 0x0f | 0x50);
        digest[8] = (byte) (digest[8] & 0x3f | 0x80);
        String hex = HEX.formatHex(digest, 0, 16);
        return hex.substring(0, 8) + '-' + hex.substring(8, 12) + '-' + hex.substring(12, 16) + '-'
                + hex.substring(16, 20) + '-' + hex.substring(20);
    }

    /** Key id, nonce, ciphertext and tag. A nonce is random bytes of this process and a counter: none comes twice. */
    byte[] seal(byte[] plain, byte[] context) {
        ByteBuffer.wrap(nonce).putLong(NONCE_BYTES - Long.BYTES, ++count);
        byte[] sealed = new byte[1 + NONCE_BYTES + plain.length + TAG_BYTES];
        sealed[0] = number;
        System.arraycopy(nonce, 0, sealed, 1, NONCE_BYTES);
        try {
            cipher.init(Cipher.ENCRYPT_MODE, key, new GCMParameterSpec(TAG_BYTES * 8, nonce));
            cipher.updateAAD(context);
            cipher.doFinal(plain, 0, plain.length, sealed, 1 + NONCE_BYTES);
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
        return sealed;
    }

    /** Eight keyed bytes of what is asked for; the producer's clock takes no part. */
    long digest(Json.Notification asked) {
        for (String part : new String[] {asked.channels, asked.category, asked.messageClass, asked.templateId}) {
            mac.update(part.getBytes(StandardCharsets.UTF_8));
            mac.update((byte) 0x1f);
        }
        return ByteBuffer.wrap(mac.doFinal(asked.params)).getLong();
    }
}
