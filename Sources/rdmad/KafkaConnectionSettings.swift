import ArgumentParser
import KafkaFrontend

/// Options of `rdmad serve` about the connections of Kafka clients, and who may have one.
struct KafkaConnectionSettings: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The certificate of kafka+tls listeners, with those that it was signed by, in PEM.", valueName: "file"))
    var tlsCertificate: String?

    @Option(help: ArgumentHelp("Its private key, in PEM.", valueName: "file"))
    var tlsKey: String?

    @Option(help: ArgumentHelp("Who may use kafka+sasl listeners: see `rdmad user`.", valueName: "file"))
    var users: String?

    @Option(help: "Threads for the connections of Kafka clients; 0 is one for each core.")
    var numNetworkThreads = NetworkConfiguration().threads

    @Option(help: "A Kafka client that asks nothing for so long is disconnected, in milliseconds.")
    var connectionsMaxIdleMs = NetworkConfiguration().connectionsMaxIdleMilliseconds

    func validate() throws {
        guard (0...1024).contains(numNetworkThreads) else {
            throw ValidationError("--num-network-threads is 0 to 1024")
        }
        guard connectionsMaxIdleMs >= 1000 else { throw ValidationError("--connections-max-idle-ms is at least 1000") }
    }

    /// What a listener asks of its clients, by its address.
    func security(_ address: KafkaAddress) throws -> ListenerSecurity {
        var security = ListenerSecurity()
        if address.hasTLS {
            guard let tlsCertificate, let tlsKey else {
                throw Failure("\(address.scheme):// needs --tls-certificate and --tls-key")
            }
            security.tls = TLSFiles(certificateChain: tlsCertificate, privateKey: tlsKey)
        }
        if address.hasSASL {
            guard let users else { throw Failure("\(address.scheme):// needs --users") }
            security.users = try UserStore(path: users)
        }
        return security
    }
}
