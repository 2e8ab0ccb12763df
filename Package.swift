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
    targets: [
        .systemLibrary(name: "CLinux"),
        .target(name: "RecordFormat", dependencies: ["CLinux"], swiftSettings: settings),
        .target(name: "TopicLog", dependencies: ["CLinux", "RecordFormat"], swiftSettings: settings),
        .testTarget(name: "RecordFormatTests", dependencies: ["RecordFormat"], swiftSettings: settings),
        .testTarget(name: "TopicLogTests", dependencies: ["TopicLog", "RecordFormat"], swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
