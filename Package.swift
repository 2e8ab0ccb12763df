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
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    ],
    targets: [
        .systemLibrary(name: "CLinux"),
        .systemLibrary(name: "CVerbs", providers: [.apt(["libibverbs-dev", "librdmacm-dev"])]),
        .target(name: "RDMATransport", dependencies: ["CLinux", "CVerbs"], swiftSettings: settings),
        .target(name: "RecordFormat", dependencies: ["CLinux"], swiftSettings: settings),
        .target(name: "TopicProtocol", swiftSettings: settings),
        .target(name: "TopicLog", dependencies: ["CLinux", "RecordFormat"], swiftSettings: settings),
        .target(
            name: "RdmadClient", dependencies: ["CLinux", "RDMATransport", "RecordFormat", "TopicProtocol"],
            swiftSettings: settings),
        .executableTarget(
            name: "rdmad",
            dependencies: [
                "RdmadClient", "RDMATransport", "TopicProtocol", "RecordFormat", "CLinux",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
