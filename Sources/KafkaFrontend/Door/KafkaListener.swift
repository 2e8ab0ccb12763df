package import BrokerCore
package import Logging
package import Reactor

/// Opens Kafka listeners: for each its connections on the event loops, and a door on the reactor.
package enum KafkaListener {
    /// Listens when it returns.
    /// - Parameters:
    ///   - port: 0 for any that is free.
    ///   - options: An advertised port 0 is the one that it listens on.
    ///   - number: The door's, as the broker counts them.
    /// - Throws: ``NetworkError``.
    package static func open(
        host: String, port: Int, security: ListenerSecurity, options: KafkaDoorOptions, number: Int, broker: Broker,
        resources: NetworkResources, log: Logger
    ) throws -> any KafkaListening {
        let queue = CommandQueue(resources.queued)
        let network = try KafkaNetwork(
            host: host, port: port, security: security, queue: queue, resources: resources, log: log)
        var options = options
        options.address += ":\(network.boundPort)"
        if options.advertisedPort == 0 { options.advertisedPort = Int32(network.boundPort) }
        return KafkaDoor(broker: broker, number: number, options: options, queue: queue, sink: network, log: log)
    }
}

/// A Kafka listener, which is a door.
package protocol KafkaListening: Door {
    /// Where clients are told to connect to: `HOST:PORT`.
    var advertised: String { get }
}
