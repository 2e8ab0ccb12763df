internal import NIOSSL

/// A listener's certificate and key, in PEM.
package struct TLSFiles: Sendable {
    package var certificateChain: String
    package var privateKey: String

    package init(certificateChain: String, privateKey: String) {
        self.certificateChain = certificateChain
        self.privateKey = privateKey
    }

    /// Reads both, for TLS 1.2 and later.
    /// - Throws: ``NetworkError``, which names the file.
    func load() throws -> NIOSSLContext {
        let chain: [NIOSSLCertificate]
        do { chain = try NIOSSLCertificate.fromPEMFile(certificateChain) } catch {
            throw NetworkError("cannot read the certificates in \(certificateChain): \(error)")
        }
        let key: NIOSSLPrivateKey
        do { key = try NIOSSLPrivateKey(file: privateKey, format: .pem) } catch {
            throw NetworkError("cannot read the private key in \(privateKey): \(error)")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv12
        do { return try NIOSSLContext(configuration: configuration) } catch {
            throw NetworkError("\(certificateChain) and \(privateKey) do not make a TLS server: \(error)")
        }
    }
}
