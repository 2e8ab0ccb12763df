import Foundation

@testable import KafkaFrontend

/// A certificate that nobody trusts, and its key, for a hundred years; made by `openssl req -x509 -newkey ec`.
final class TestCertificate {
    let files: TLSFiles
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("rdmad-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let paths = (folder.appendingPathComponent("chain.pem").path, folder.appendingPathComponent("key.pem").path)
        try Self.certificate.write(toFile: paths.0, atomically: false, encoding: .utf8)
        try Self.key.write(toFile: paths.1, atomically: false, encoding: .utf8)
        files = TLSFiles(certificateChain: paths.0, privateKey: paths.1)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    private static let certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBfjCCASWgAwIBAgIUIatTz1W05tGdcoQS+V0PJCBN9sUwCgYIKoZIzj0EAwIw
        FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTIxMjMzMVoYDzIxMjYxMDI4
        MjEyMzMxWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
        PQMBBwNCAAQrUXkT6C4NFAWYuEKcwFqjGJFNgXChdvd7r+kGQc3F/vut2J5xpc8d
        Q/hTHC4x6+gzm0p4im44M6pqIe+mxqNeo1MwUTAdBgNVHQ4EFgQUTpOIAzJCqnDw
        9PIpQtwPEg0Um0owHwYDVR0jBBgwFoAUTpOIAzJCqnDw9PIpQtwPEg0Um0owDwYD
        VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiBI+NuLOekg/v5jdgHhREyn
        CcA0bEfRMRvVGzQKEuee7QIgP2s83kgn10SjdYEvHu7XRQGJ1H2mg3gPpgv5Gyt6
        aJw=
        -----END CERTIFICATE-----
        """

    private static let key = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgXqvh4+G37e+9SZ5H
        TFbwCbAeA8aSZdivDwhxx103LMGhRANCAAQrUXkT6C4NFAWYuEKcwFqjGJFNgXCh
        dvd7r+kGQc3F/vut2J5xpc8dQ/hTHC4x6+gzm0p4im44M6pqIe+mxqNe
        -----END PRIVATE KEY-----
        """
}
