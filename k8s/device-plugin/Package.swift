// swift-tools-version: 6.3
import PackageDescription

/// The settings of the main package (docs/HACKING.md says why).
let settings: [SwiftSetting] = [
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let package = Package(
    name: "rdmad-device-plugin",
    products: [.executable(name: "rdmad-device-plugin", targets: ["rdmad-device-plugin"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0", traits: []),
        .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
        .package(url: "https://github.com/grpc/grpc-swift-protobuf", from: "2.4.1"),
    ],
    targets: [
        // Each module knows those above it only.
        .systemLibrary(name: "CNetlink"),
        // Not Yams: that needs all of Foundation with its 38 MB of tables, of which pages stay in memory.
        .systemLibrary(name: "CLibYAML", providers: [.apt(["libyaml-dev"])]),
        .target(name: "Inventory", dependencies: ["CNetlink"], swiftSettings: settings),
        .target(name: "Resources", dependencies: ["CLibYAML", "Inventory"], swiftSettings: settings),
        .target(
            name: "KubeletAPI",
            dependencies: [
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            // Generated: without strict memory safety, which its code does not spell out.
            swiftSettings: [.swiftLanguageMode(.v6)]),
        .target(
            name: "DevicePlugin",
            dependencies: [
                "CNetlink", "Inventory", "Resources", "KubeletAPI",
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "rdmad-device-plugin",
            dependencies: [
                "CNetlink", "Inventory", "Resources", "DevicePlugin",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings,
            // A static Swift library exports every symbol of the program, for nobody: 5 MB that are read at the start,
            // and code that nothing uses is kept.
            linkerSettings: [.unsafeFlags(["-Xlinker", "--no-export-dynamic"])]),

        // Tests.
        .target(
            name: "FakeNode", dependencies: ["Inventory"], path: "Tests/FakeNode", swiftSettings: settings),
        .testTarget(name: "InventoryTests", dependencies: ["Inventory", "FakeNode"], swiftSettings: settings),
        .testTarget(
            name: "ResourcesTests", dependencies: ["Resources", "Inventory", "FakeNode"], exclude: ["golden"],
            swiftSettings: settings),
        .testTarget(
            name: "DevicePluginTests",
            dependencies: [
                "DevicePlugin", "Resources", "Inventory", "FakeNode", .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings),
    ]
)
