package sqlstore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"strings"
	"sync"

	"outbridge/bridge"
)

// Key is what the key file holds. Tokens are sealed with it (AES-256-GCM), and app passwords and feed secrets are
// hashed with it (HMAC-SHA-256): these are random with at least 128 bits, so a fast keyed hash is enough.
type Key struct {
	seal   cipher.AEAD
	hashes *sync.Pool // of hash.Hash
}

const keySize = 32

// ReadKey reads the key file, 64 hex digits. Where there is none it makes one with mode 0600. A file that others
// than its owner and a group of this process may read is refused.
func ReadKey(path string) (Key, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path)
	}
	if err != nil {
		return Key{}, fmt.Errorf("key file: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return Key{}, fmt.Errorf("key file: %w", err)
	}
	if err := exposed(path, info); err != nil {
		return Key{}, err
	}
	secret, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(secret) != keySize {
		return Key{}, fmt.Errorf("key file %s is damaged: it must hold %d hex digits; restore it from a backup", path, 2*keySize)
	}
	return newKey(secret)
}

// inUse ends a key file whose key has been used: a line with a tab, which every version reads over.
const inUse = "\n\t\n"

// KeyInUse reports whether the key has been used with a database that had something in it.
func KeyInUse(path string) bool {
	b, err := os.ReadFile(path)
	return err == nil && strings.HasSuffix(string(b), inUse)
}

// MarkKeyInUse makes KeyInUse true. A key that may not be written, such as a secret of a container, stays as it is.
func MarkKeyInUse(path string) {
	b, err := os.ReadFile(path)
	if err != nil || strings.HasSuffix(string(b), inUse) {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return
	}
	defer f.Close()
	mark := inUse
	if strings.HasSuffix(string(b), "\n") {
		mark = mark[1:]
	}
	_, _ = f.WriteString(mark)
}

func makeKey(path string) (Key, error) {
	secret := make([]byte, keySize)
	rand.Read(secret)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return ReadKey(path)
	}
	if err != nil {
		return Key{}, fmt.Errorf("make key file: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteString(hex.EncodeToString(secret) + "\n"); err != nil {
		return Key{}, fmt.Errorf("make key file: %w", err)
	}
	if err := errors.Join(f.Sync(), OwnLikeFolder(path)); err != nil {
		return Key{}, fmt.Errorf("make key file: %w", err)
	}
	return newKey(secret)
}

func newKey(secret []byte) (Key, error) {
	sealing, err := hkdf.Key(sha256.New, secret, nil, "outbridge seal", 32)
	if err != nil {
		return Key{}, err
	}
	hashing, err := hkdf.Key(sha256.New, secret, nil, "outbridge hash", 32)
	if err != nil {
		return Key{}, err
	}
	block, err := aes.NewCipher(sealing)
	if err != nil {
		return Key{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return Key{}, err
	}
	return Key{seal: aead, hashes: &sync.Pool{New: func() any { return hmac.New(sha256.New, hashing) }}}, nil
}

// sealed encrypts plain, bound to the row that it belongs to.
func (k Key) sealed(plain []byte, row string) []byte {
	return k.seal.Seal(nil, nil, plain, []byte(row))
}

func (k Key) open(box []byte, row string) ([]byte, error) {
	plain, err := k.seal.Open(nil, nil, box, []byte(row))
	if err != nil {
		return nil, bridge.ErrWrongKey
	}
	return plain, nil
}

// digest is the keyed hash of a secret; kind keeps passwords and feed secrets apart.
func (k Key) digest(kind, secret string) []byte {
	m := k.hashes.Get().(hash.Hash)
	defer k.hashes.Put(m)
	m.Reset()
	m.Write([]byte(kind + "\x00" + secret))
	return m.Sum(nil)
}
