{{- define "rdmad.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "rdmad.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "rdmad.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "rdmad.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* Labels to select by: (dict "root" $ "component" NAME). */}}
{{- define "rdmad.selector" -}}
app.kubernetes.io/name: {{ include "rdmad.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "rdmad.labels" -}}
{{ include "rdmad.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "rdmad.image" -}}
image: {{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{- /* The pod's metadata: (dict "root" $ "component" NAME "values" VALUES). */}}
{{- define "rdmad.podMetadata" -}}
labels:
  {{- include "rdmad.labels" . | nindent 2 }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Where pods go, and what all have in common. */}}
{{- define "rdmad.podCommon" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* What containers may do: (dict "add" LIST). */}}
{{- define "rdmad.containerSecurity" -}}
securityContext:
  privileged: false
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: ["ALL"]
    {{- with .add }}
    add: {{ toJson . }}
    {{- end }}
{{- end }}

{{- /* A broker listens once its log is recovered: after a power cut that takes time. The commands ask the broker. */}}
{{- define "rdmad.brokerProbes" -}}
startupProbe:
  {{- include "rdmad.ask" . | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 360
readinessProbe:
  {{- include "rdmad.ask" . | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 5
livenessProbe:
  {{- include "rdmad.ask" . | nindent 2 }}
  periodSeconds: 30
  timeoutSeconds: 10
  failureThreshold: 5
{{- end }}

{{- define "rdmad.ask" -}}
exec:
  command: ["/usr/bin/rdmad", "topic", "list", "--broker=shm:///run/rdmad/rdmad.sock"]
{{- end }}

{{- /* Refuses what would be installed and then crash or stay Pending: daemon and plugin are to agree. */}}
{{- define "rdmad.agreement" -}}
{{- $daemon := .Values.nodeDaemon }}
{{- if gt (mul (int64 $daemon.seats) (int64 $daemon.maxConnectionsPerSeat)) 65000 }}
{{- fail "nodeDaemon.seats times nodeDaemon.maxConnectionsPerSeat is at most 65000" }}
{{- end }}
{{- if .Values.devicePlugin.enabled }}
{{- $names := list }}
{{- if .Values.devicePlugin.mellanoxConfig }}
{{- $config := fromJson .Values.devicePlugin.mellanoxConfig }}
{{- if not $config.configList }}
{{- fail "devicePlugin.mellanoxConfig is not JSON with a configList" }}
{{- end }}
{{- range $config.configList }}
{{- $names = append $names (printf "%s/%s" (default "rdma" .resourcePrefix) .resourceName) }}
{{- end }}
{{- else }}
{{- range .Values.devicePlugin.config.resources }}
{{- if not (hasKey . "seats") }}
{{- $names = append $names .name }}
{{- else if ne (int64 .seats) (int64 $daemon.seats) }}
{{- fail (printf "nodeDaemon.seats is %d, but %s in devicePlugin.config has %d seats: make them the same" (int64 $daemon.seats) .name (int64 .seats)) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and $daemon.rdma.enabled (not (has $daemon.rdma.resourceName $names)) }}
{{- fail (printf "nodeDaemon.rdma.resourceName is %s, but the device plugin offers %s" $daemon.rdma.resourceName (default "no device" (join ", " $names))) }}
{{- end }}
{{- end }}
{{- end }}
