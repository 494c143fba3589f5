"""Currencies of ISO 4217: the codes that are taken (R5) and how many decimals each shows.

Source: ISO 4217 List One (active codes of currencies and funds), as published by the
maintenance agency SIX Group on 2026-01-01. To renew it, replace the tables and this date.
"""

from collections.abc import Mapping

_CODES_BY_DECIMALS = {
    2: """
        AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE
        CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD
        HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK
        MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD
        RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH
        USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
    0: """
        BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF
        XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XTS XUA XXX
    """,  # The second line has no minor unit in the standard ("N.A."): an amount shows as it is.
}

MINOR_UNIT_DECIMALS: Mapping[str, int] = {
    code: decimals for decimals, codes in _CODES_BY_DECIMALS.items() for code in codes.split()
}
"""Upper-case code -> decimals: 2999 in a currency of 2 is 29.99."""

CODES = frozenset(MINOR_UNIT_DECIMALS)
