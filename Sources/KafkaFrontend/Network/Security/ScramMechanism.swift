internal import Crypto

/// A hash function for SCRAM (RFC 5802, RFC 7677), under its name in SASL.
package enum ScramMechanism: String, CaseIterable, Sendable {
    case sha256 = "SCRAM-SHA-256"
    case sha512 = "SCRAM-SHA-512"

    var hashBytes: Int {
        switch self {
        case .sha256: SHA256.byteCount
        case .sha512: SHA512.byteCount
        }
    }

    func hash(_ bytes: [UInt8]) -> [UInt8] {
        switch self {
        case .sha256: Array(SHA256.hash(data: bytes))
        case .sha512: Array(SHA512.hash(data: bytes))
        }
    }

    func hmac(_ key: [UInt8], _ bytes: [UInt8]) -> [UInt8] {
        switch self {
        case .sha256: Array(HMAC<SHA256>.authenticationCode(for: bytes, using: SymmetricKey(data: key)))
        case .sha512: Array(HMAC<SHA512>.authenticationCode(for: bytes, using: SymmetricKey(data: key)))
        }
    }

    /// RFC 5802's Hi: PBKDF2 with one block.
    func saltedPassword(_ password: String, salt: [UInt8], iterations: Int) -> [UInt8] {
        switch self {
        case .sha256: Self.stretch(SHA256.self, Array(password.utf8), salt, iterations)
        case .sha512: Self.stretch(SHA512.self, Array(password.utf8), salt, iterations)
        }
    }

    private static func stretch<H: HashFunction>(
        _: H.Type, _ password: [UInt8], _ salt: [UInt8], _ iterations: Int
    ) -> [UInt8] {
        let keyed = HMAC<H>(key: SymmetricKey(data: password))
        func step(_ bytes: [UInt8]) -> [UInt8] {
            var code = keyed
            code.update(data: bytes)
            return Array(code.finalize())
        }
        var last = step(salt + [0, 0, 0, 1])
        var sum = last
        for _ in 1..<max(1, iterations) {
            last = step(last)
            for index in sum.indices { sum[index] ^= last[index] }
        }
        return sum
    }
}

/// Compares without telling by its time where the first difference is.
func isEqualInConstantTime(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    guard a.count == b.count else { return false }
    var difference: UInt8 = 0
    for (x, y) in zip(a, b) { difference |= x ^ y }
    return difference == 0
}
