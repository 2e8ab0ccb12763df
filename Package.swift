// swift-tools-version: 6.3
import PackageDescription

/// The settings every Swift target is built with (docs/HACKING.md says why).
let settings: [SwiftSetting] = [
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let package = Package(
    name: "rdmad",
    products: [
        .executable(name: "rdmad", targets: ["rdmad"]),
        .library(name: "RDMATransport", targets: ["RDMATransport"]),
        .library(name: "RdmadClient", targets: ["RdmadClient"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        // Exactly this one: it reads into the Kafka door's memory by an interface that may change (adr/0017).
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    ],
    targets: [
        .systemLibrary(name: "CLinux"),
        .systemLibrary(
            name: "CCodecs", providers: [.apt(["libzstd-dev", "liblz4-dev", "libsnappy-dev", "zlib1g-dev"])]),
        .systemLibrary(name: "CVerbs", providers: [.apt(["libibverbs-dev", "librdmacm-dev"])]),
        .target(
            name: "RDMATransport", dependencies: ["CLinux", "CVerbs"],
            // For spans over registered buffers. Without it they would be closures: `withBytes { span in … }`.
            swiftSettings: settings + [.enableExperimentalFeature("Lifetimes")]),
        .target(name: "RecordFormat", dependencies: ["CLinux"], swiftSettings: settings),
        .target(name: "Compression", dependencies: ["CCodecs", "RecordFormat"], swiftSettings: settings),
        .target(name: "TopicProtocol", swiftSettings: settings),
        .target(name: "KafkaProtocol", swiftSettings: settings),
        .target(name: "TopicLog", dependencies: ["CLinux", "RecordFormat"], swiftSettings: settings),
        .target(
            name: "BrokerCore", dependencies: ["RecordFormat", "TopicLog", "TopicProtocol"], swiftSettings: settings),
        .target(
            name: "Reactor",
            dependencies: ["CLinux", "BrokerCore", "TopicProtocol", .product(name: "Logging", package: "swift-log")],
            swiftSettings: settings),
        .target(
            name: "FabricFrontend",
            dependencies: [
                "CLinux", "RDMATransport", "RecordFormat", "Compression", "TopicProtocol", "TopicLog", "BrokerCore",
                "Reactor", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .target(
            name: "KafkaFrontend",
            dependencies: [
                "CLinux", "RecordFormat", "Compression", "KafkaProtocol", "TopicProtocol", "TopicLog", "BrokerCore", "Reactor",
                .product(name: "Logging", package: "swift-log"), .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "OrderedCollections", package: "swift-collections"),
            ],
            swiftSettings: settings),
        .target(
            name: "RdmadClient",
            dependencies: ["CLinux", "RDMATransport", "RecordFormat", "Compression", "TopicProtocol"],
            swiftSettings: settings),
        .target(name: "TransportBench", dependencies: ["CLinux", "RDMATransport"], swiftSettings: settings),
        .executableTarget(
            name: "rdmad",
            dependencies: [
                "TransportBench", "RDMATransport", "RecordFormat", "Compression", "TopicProtocol", "TopicLog",
                "BrokerCore", "Reactor", "FabricFrontend", "KafkaFrontend", "RdmadClient", "CLinux",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),

        // Examples: programs to read, built and tested with the rest.
        .executableTarget(
            name: "rdma-echo", dependencies: ["RDMATransport"], path: "Examples/Echo", swiftSettings: settings),
        .executableTarget(
            name: "rdma-kv", dependencies: ["RDMATransport"], path: "Examples/KeyValue", swiftSettings: settings),
        .executableTarget(
            name: "rdma-chat", dependencies: ["RDMATransport"], path: "Examples/MulticastChat",
            swiftSettings: settings),

        .executableTarget(
            name: "shm-bench", dependencies: ["RDMATransport"], path: "Benchmarks/ShmBench", swiftSettings: settings),
        .executableTarget(
            name: "log-bench", dependencies: ["TopicLog", "RecordFormat"], path: "Benchmarks/LogBench",
            swiftSettings: settings),
        .executableTarget(
            name: "broker-bench", dependencies: ["RdmadClient"], path: "Benchmarks/BrokerBench",
            swiftSettings: settings),

        // Tests: a folder per target. The Soft-RoCE ones fail where there is no rxe0 (make test gives them a guest).
        .target(
            name: "TransportTestSupport", dependencies: ["RDMATransport", "CLinux"], path: "Tests/TransportTestSupport",
            swiftSettings: settings),
        .executableTarget(
            name: "fabric-peer", dependencies: ["RDMATransport", "TransportTestSupport"], path: "Tests/FabricPeer",
            swiftSettings: settings),
        .executableTarget(
            name: "link-peer", dependencies: ["RDMATransport", "TransportTestSupport"], path: "Tests/LinkPeer",
            swiftSettings: settings),
        .testTarget(
            name: "RecordFormatTests", dependencies: ["RecordFormat"], exclude: ["golden"], swiftSettings: settings),
        .testTarget(
            name: "CompressionTests", dependencies: ["Compression", "RecordFormat"], exclude: ["golden"],
            swiftSettings: settings),
        .testTarget(
            name: "TopicLogTests", dependencies: ["TopicLog", "RecordFormat", "LogModel", "LogSimulation"],
            swiftSettings: settings),
        .target(
            name: "LogModel", dependencies: ["TopicLog", "RecordFormat"], path: "Tests/LogModel",
            swiftSettings: settings),
        .executableTarget(
            name: "log-model", dependencies: ["LogModel"], path: "Tests/LogModelRunner", swiftSettings: settings),
        .target(
            name: "LogSimulation", dependencies: ["TopicLog", "RecordFormat"], path: "Tests/LogSimulation",
            swiftSettings: settings),
        .executableTarget(
            name: "log-crash-sim", dependencies: ["LogSimulation", "TopicLog", "RecordFormat"],
            path: "Tests/LogCrashSim", swiftSettings: settings),
        .testTarget(name: "TopicProtocolTests", dependencies: ["TopicProtocol"], swiftSettings: settings),
        .testTarget(
            name: "KafkaProtocolTests", dependencies: ["KafkaProtocol"], exclude: ["golden"], swiftSettings: settings),
        .testTarget(
            name: "BrokerCoreTests", dependencies: ["BrokerCore", "TopicLog", "TopicProtocol", "RecordFormat"],
            swiftSettings: settings),
        .testTarget(
            name: "KafkaFrontendTests",
            dependencies: [
                "KafkaFrontend", "KafkaProtocol", "BrokerCore", "Reactor", "TopicLog", "TopicProtocol", "RecordFormat",
                "FabricFrontend", "RdmadClient",
                .product(name: "Logging", package: "swift-log"), .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "CompileFailTests", dependencies: ["RDMATransport", "TransportTestSupport"],
            swiftSettings: settings),
        .testTarget(name: "TidyTests", swiftSettings: settings),
        .testTarget(name: "TransportBenchTests", dependencies: ["TransportBench"], swiftSettings: settings),
        .testTarget(
            name: "RdmadClientTests",
            dependencies: [
                "RdmadClient", "RDMATransport", "RecordFormat", "TopicProtocol", "TopicLog", "BrokerCore",
                "FabricFrontend", "Reactor", "TransportTestSupport", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "TransportTests", dependencies: ["RDMATransport", "TransportTestSupport", "CLinux", "fabric-peer"],
            swiftSettings: settings),
        .target(
            name: "BrokerTestSupport",
            dependencies: ["RdmadClient", "TransportTestSupport", "RDMATransport", "TopicProtocol", "RecordFormat"],
            path: "Tests/BrokerTestSupport",
            swiftSettings: settings),
        .executableTarget(
            name: "group-chaos", dependencies: ["RdmadClient", "TransportTestSupport"], path: "Tests/GroupChaos",
            swiftSettings: settings),
        .testTarget(
            name: "BrokerTests",
            dependencies: [
                "BrokerTestSupport", "RdmadClient", "RDMATransport", "TopicProtocol", "RecordFormat", "CLinux", "rdmad",
                "group-chaos", "TransportTestSupport", "FabricFrontend", "Reactor", "TopicLog", "BrokerCore",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "SoftRoCETests",
            dependencies: [
                "RDMATransport", "TransportTestSupport", "CLinux", "fabric-peer", "BrokerTestSupport", "RdmadClient",
                "rdmad", "group-chaos", "rdma-echo", "rdma-kv", "rdma-chat",
            ],
            swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
