{{/* Labels of every object; takes (dict "root" $ "component" "web"). */}}
{{- define "aisle.labels" -}}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: aisle
{{ include "aisle.selector" . }}
{{- end }}

{{- define "aisle.selector" -}}
app.kubernetes.io/name: aisle-{{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "aisle.image" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
terminationMessagePolicy: FallbackToLogsOnError
{{- end }}

{{/* What every process of the control plane is told. */}}
{{- define "aisle.environment" -}}
envFrom:
  - secretRef: {name: {{ .Values.existingSecret }}}
  - configMapRef: {name: {{ .Release.Name }}}
volumeMounts:
  - {name: home, mountPath: /var/lib/aisle}
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{/* A pod of the control plane around its containers; takes (dict "root" $ "account" bool). */}}
{{- define "aisle.pod" -}}
serviceAccountName: {{ .root.Release.Name }}
automountServiceAccountToken: {{ .account }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
volumes:
  - name: home
    {{- if .root.Values.storage.existingClaim }}
    persistentVolumeClaim: {claimName: {{ .root.Values.storage.existingClaim }}}
    {{- else if .root.Values.storage.volume }}
    {{- toYaml .root.Values.storage.volume | nindent 4 }}
    {{- else }}
    emptyDir: {}
    {{- end }}
  - {name: tmp, emptyDir: {}}
{{- end }}
