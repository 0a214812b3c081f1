#!/bin/sh
# Writes the bill of materials (CycloneDX) of what the images hold, then looks for known vulnerabilities in it.
# Exits with 1 when there are some of weight, with 3 when nobody could be asked: that is no clean result.
set -eu
cd "$(dirname "$0")/.."
node=node_modules/.bin/node
version=$($node -p 'JSON.parse(fs.readFileSync("package.json", "utf8")).version')
revision=$(git rev-parse --short=12 HEAD)
sbom=.data/sbom/gatehouse-$version-$revision.cdx.json
report=.data/sbom/audit.json

mkdir -p .data/sbom
npm sbom --sbom-format cyclonedx --sbom-type application --omit dev --package-lock-only >"$sbom.draft"
# npm calls the whole by the name of its folder.
$node -e '
  const { metadata, components, ...rest } = JSON.parse(fs.readFileSync(process.argv[1], "utf8"));
  metadata.component.name = "gatehouse";
  fs.writeFileSync(process.argv[2], JSON.stringify({ ...rest, metadata, components }, null, 2));
  console.log(`${components.length} packages: ${process.argv[2]}`);
' "$sbom.draft" "$sbom"
rm "$sbom.draft"

npm audit --omit=dev --audit-level=high --json >"$report" 2>"$report.log" || true
$node -e '
  let audit = {};
  try { audit = JSON.parse(fs.readFileSync(process.argv[1], "utf8")); } catch {}
  if (!audit.auditReportVersion) {
    console.error(`The vulnerabilities could not be asked for: ${audit.message ?? audit.error?.summary ?? "npm gave no report"}`);
    console.error("Nothing is known about these packages. Run it again where the registry answers audits.");
    process.exit(3);
  }
  const { critical = 0, high = 0, moderate = 0, low = 0 } = audit.metadata.vulnerabilities;
  for (const { name, severity, range, fixAvailable } of Object.values(audit.vulnerabilities))
    console.log(`${severity}\t${name} ${range}\t${fixAvailable ? "a fix is there: npm audit fix" : "no fix yet"}`);
  console.log(`Known vulnerabilities: ${critical} critical, ${high} high, ${moderate} moderate, ${low} low`);
  process.exit(critical + high > 0 ? 1 : 0);
' "$report"
