"""What a device's installation is made of: `python -m scanside.jetson.inventory`, on a workstation.

parts    the distributions, with version and licence, from installed metadata or from wheels
sbom     them as CycloneDX, for a program
soup     them as docs/soup.md, for whoever answers for the device (IEC 62304: software of unknown
         provenance)
"""
